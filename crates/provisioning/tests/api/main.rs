//! The tests of the provisioning service, in one binary: it links once.

mod providers;
