//! Entities: the tree of tenants inside a platform.

text_enum! {
    /// What an entity is in its platform's tree: a tenant is a root, a subtenant hangs under either.
    pub enum EntityType {
        Tenant = "tenant",
        Subtenant = "subtenant",
    }
}

text_enum! {
    /// Where an entity is in its life.
    pub enum EntityStatus {
        Active = "active",
        Suspended = "suspended",
        Deleted = "deleted",
    }
}

/// The deepest level of the tree; a tenant is level 1.
pub const MAX_DEPTH: i32 = 16;
