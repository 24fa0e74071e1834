//! Conversion between the closed sets of the domain and the enums of `proto/`.
//!
//! A message holds the number of an enum value. [`enum_number`] returns it, [`parse_enum`] parses it. A variant that
//! exists on only one of the two sides is a compile error.

use std::fmt::Display;

use domain::{Error, Result, access, build, deployment, job, platform, resource, template};

use crate::{common, iam, provisioning, registry, stack_registry};

/// Domain type that has a variant for each value of an enum in `proto/` except the unspecified one.
pub trait ClosedSet: Copy + Display + 'static {
    /// The generated enum.
    type Message: TryFrom<i32> + Into<i32>;
    /// Every value.
    const ALL: &'static [Self];

    /// Returns the enum value of this variant.
    fn to_message(self) -> Self::Message;

    /// Returns the variant of an enum value, or `None` for the unspecified value.
    fn from_message(message: Self::Message) -> Option<Self>;
}

/// Returns the number of a value in a message.
pub fn enum_number<T: ClosedSet>(value: T) -> i32 {
    value.to_message().into()
}

/// Parses the number of an enum value in a request.
///
/// # Errors
/// [`domain::Kind::Validation`], at `field`, if the number is the unspecified one or unknown.
pub fn parse_enum<T: ClosedSet>(field: &str, number: i32) -> Result<T> {
    let known = T::Message::try_from(number).ok();
    known.and_then(T::from_message).ok_or_else(|| {
        let allowed: Vec<String> = T::ALL.iter().map(ToString::to_string).collect();
        let found = if number == 0 { "unspecified".to_owned() } else { format!("the number {number}") };
        Error::invalid(field, format!("must be one of {}, not {found}", allowed.join(", ")))
    })
}

/// Parses the number of an enum value in a response.
///
/// # Errors
/// [`domain::Kind::Internal`], whose context names `field`: an invalid response is not the caller's fault.
pub fn parse_response_enum<T: ClosedSet>(field: &str, number: i32) -> Result<T> {
    parse_enum(field, number).map_err(|error| Error::internal(error.message()))
}

macro_rules! closed_sets {
    ($($domain:ty = $message:ty { $($variant:ident),+ $(,)? })+) => {
        $(impl ClosedSet for $domain {
            type Message = $message;
            const ALL: &'static [Self] = <$domain>::ALL;

            fn to_message(self) -> $message {
                match self { $(Self::$variant => <$message>::$variant),+ }
            }

            fn from_message(message: $message) -> Option<Self> {
                match message {
                    <$message>::Unspecified => None,
                    $(<$message>::$variant => Some(Self::$variant)),+
                }
            }
        })+

        /// The check of each set by its name in `proto/`.
        #[cfg(test)]
        const CHECKS: &[(&str, fn())] = &[$((stringify!($message), tests::check::<$domain>)),+];
    };
}

closed_sets! {
    access::Role = iam::Role { Viewer, Developer, PlatformAdmin, Operator }
    job::JobType = common::JobType {
        ProvisionPlatform, DeprovisionPlatform, ActivateFeature, DeactivateFeature, ActivateStack, DeactivateStack,
    }
    job::JobStatus = provisioning::JobStatus { Pending, Running, Completed, Failed, RollingBack, RolledBack }
    template::TemplateStatus = stack_registry::TemplateStatus { Active, Deprecated }
    platform::PlatformStatus = registry::PlatformStatus {
        Pending, Provisioning, Active, Suspended, PendingCancellation, Cancelled, Deleted,
    }
    platform::PlatformEvent = registry::PlatformEvent {
        Bootstrap, Complete, Fail, Suspend, Restore, Cancel, PeriodEnd, Delete,
    }
    platform::Tier = registry::Tier { Starter, Growth, Scale }
    resource::Environment = registry::Environment { Dev, Stg, Prod }
    resource::ResourceType = registry::ResourceType { Worker, Pages, D1, R2, Kv, Queue }
    resource::ResourceStatus = registry::ResourceStatus { Pending, Provisioning, Active, Failed, Deleted }
    resource::SecretStatus = registry::SecretStatus { Missing, Set, Rotated, Error }
    resource::DnsStatus = registry::DnsStatus { Pending, Active, Failed }
    resource::DomainStatus = registry::DomainStatus { Pending, Active, Failed }
    build::BuildStatus = registry::BuildStatus { Unknown, Building, Success, Failed }
    build::BuildTrigger = registry::BuildTrigger { FeatureActivation, Manual, Push }
    deployment::StackStatus = registry::StackStatus { Pending, Provisioning, Active, Failed }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        fmt::Debug,
    };

    use domain::Kind;
    use prost::Message;
    use prost_types::{EnumDescriptorProto, FileDescriptorSet};

    use super::*;

    /// Checks that every value survives a round trip and that every other number is rejected with the name of the
    /// field.
    pub(super) fn check<T: ClosedSet + PartialEq + Debug>() {
        let numbers: BTreeSet<i32> = T::ALL.iter().map(|value| enum_number(*value)).collect();
        assert_eq!(numbers.len(), T::ALL.len(), "two values have the same number");
        for value in T::ALL {
            assert_eq!(parse_enum::<T>("status", enum_number(*value)).unwrap(), *value);
        }
        let others = (-2..100).chain([i32::MIN, i32::MAX]).filter(|number| !numbers.contains(number));
        for number in others {
            let error = parse_enum::<T>("job.status", number).unwrap_err();
            assert_eq!(error.kind(), Kind::Validation, "{number}");
            assert_eq!(error.details()["fields"][0]["path"], "job.status", "{number}");
        }
    }

    /// Returns the enums of `proto/` by module and name.
    fn enums() -> BTreeMap<String, EnumDescriptorProto> {
        let all = FileDescriptorSet::decode(crate::DESCRIPTORS).unwrap();
        let mut enums = BTreeMap::new();
        for file in all.file {
            let module = file.package().split('.').nth(1).unwrap().to_owned();
            enums.extend(file.enum_type.into_iter().map(|one| (format!("{module}::{}", one.name()), one)));
        }
        enums
    }

    /// Returns the prefix of the value names of an enum: `PLATFORM_STATUS` for `PlatformStatus`.
    fn prefix(name: &str) -> String {
        let letter = |(at, letter): (usize, char)| {
            let separator = if at > 0 && letter.is_uppercase() { "_" } else { "" };
            format!("{separator}{}", letter.to_ascii_uppercase())
        };
        name.chars().enumerate().map(letter).collect()
    }

    #[test]
    fn every_proto_enum_is_a_closed_set_that_survives_a_round_trip() {
        let checked: BTreeSet<String> = CHECKS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(checked, enums().into_keys().collect());
        for (_, check) in CHECKS {
            check();
        }
    }

    #[test]
    fn value_names_follow_the_style_guide() {
        for (name, one) in enums() {
            let prefix = prefix(one.name());
            assert_eq!(one.value[0].name(), format!("{prefix}_UNSPECIFIED"), "{name}");
            for (number, value) in (0..).zip(&one.value) {
                assert!(value.name().starts_with(&format!("{prefix}_")), "{}", value.name());
                assert_eq!(value.number(), number, "{}", value.name());
            }
        }
    }

    #[test]
    fn an_error_lists_the_allowed_values() {
        let reason = |number| {
            let error = parse_enum::<resource::Environment>("environment", number).unwrap_err();
            error.details()["fields"][0]["message"].as_str().unwrap().to_owned()
        };
        assert_eq!(reason(0), "must be one of dev, stg, prod, not unspecified");
        assert_eq!(reason(4), "must be one of dev, stg, prod, not the number 4");
        let error = parse_response_enum::<resource::Environment>("environment", 4).unwrap_err();
        assert_eq!(error.kind(), Kind::Internal);
        let context = "Field 'environment' must be one of dev, stg, prod, not the number 4.";
        assert_eq!(error.log_context(), context);
    }
}
