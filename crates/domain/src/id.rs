//! Identifiers, which are opaque to clients.
//!
//! Ids of platforms, entities and stacks are ten random characters of `[a-z0-9]`, because resource names and host
//! names contain them. All other ids are UUIDv7. Each kind of id has its own type, so that an id of one kind cannot be
//! used as an id of another kind.

use rand::Rng;
use uuid::Uuid;

/// Length of a short id. Of 36^10 ids, a collision is so rare that the insert is retried instead of checked before.
const SHORT_LENGTH: usize = 10;
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// A new time-ordered id.
pub fn uuid_v7() -> Uuid {
    Uuid::now_v7()
}

fn random_short() -> String {
    let mut rng = rand::rng();
    (0..SHORT_LENGTH)
        .filter_map(|_| ALPHABET.get(rng.random_range(0..ALPHABET.len())))
        .map(|c| char::from(*c))
        .collect()
}

fn is_short(text: &str) -> bool {
    text.len() == SHORT_LENGTH && text.bytes().all(|c| ALPHABET.contains(&c))
}

macro_rules! short_id {
    ($(#[$meta:meta])* $type:ident, $object:literal $(, or $literal:literal)?) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[cfg_attr(feature = "diesel", derive(diesel::expression::AsExpression, diesel::deserialize::FromSqlRow))]
        #[cfg_attr(feature = "diesel", diesel(sql_type = diesel::sql_types::Text))]
        pub struct $type(String);

        impl $type {
            /// A new random id.
            pub fn random() -> Self {
                Self(random_short())
            }

            /// The text of the id.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Reads an id.
            ///
            /// # Errors
            /// A predicate that states the form of an id.
            pub fn parse(text: &str) -> Result<Self, String> {
                if is_short(text) $(|| text == $literal)? {
                    return Ok(Self(text.to_owned()));
                }
                Err(format!(concat!("must be ", $object, " id: {} characters of a-z and 0-9" $(, ", or '", $literal, "'")?), SHORT_LENGTH))
            }
        }

        text!($type, concat!("Id of ", $object), min 1, max Some(SHORT_LENGTH), pattern None);
    };
}

short_id!(
    /// Id of a platform: the tenant boundary.
    PlatformId, "a platform"
);
short_id!(
    /// Id of an entity: a tenant or subtenant of a platform.
    EntityId, "an entity"
);
short_id!(
    /// Id of a workspace stack. The literal `default` stands for resources that belong to no particular stack.
    StackId, "a stack", or "default"
);

/// Defines the id type of one kind of object, such as `uuid_id!(pub InvoiceId)`: a UUID that is not interchangeable with
/// ids of other kinds.
#[macro_export]
macro_rules! uuid_id {
    ($(#[$meta:meta])* $vis:vis $type:ident) => {
        $crate::uuid_id_type!($(#[$meta])* $vis $type);
        $crate::uuid_id_schema!($type);

        impl $type {
            /// The highest id.
            pub const MAX: Self = Self($crate::Uuid::max());

            /// A new time-ordered id.
            pub fn generate() -> Self {
                Self($crate::id::uuid_v7())
            }

            /// The id with this value.
            pub const fn from_uuid(uuid: $crate::Uuid) -> Self {
                Self(uuid)
            }

            /// The value of the id.
            pub const fn uuid(self) -> $crate::Uuid {
                self.0
            }

            /// Reads an id.
            ///
            /// # Errors
            /// A predicate that states the form of an id.
            pub fn parse(text: &str) -> ::std::result::Result<Self, String> {
                $crate::Uuid::parse_str(text).map(Self).map_err(|_| "must be a UUID".to_owned())
            }
        }

        impl ::std::fmt::Display for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&self.0, f)
            }
        }

        impl ::std::str::FromStr for $type {
            type Err = String;
            fn from_str(text: &str) -> ::std::result::Result<Self, String> {
                Self::parse(text)
            }
        }
    };
}

/// The type that [`uuid_id!`] defines. The features of this crate apply, not those of the crate that uses the macro.
#[doc(hidden)]
#[macro_export]
#[cfg(not(feature = "diesel"))]
macro_rules! uuid_id_type {
    ($(#[$meta:meta])* $vis:vis $type:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(transparent)]
        $vis struct $type($crate::Uuid);
    };
}

/// The type that [`uuid_id!`] defines, which PostgreSQL stores as a `uuid`.
#[doc(hidden)]
#[macro_export]
#[cfg(feature = "diesel")]
macro_rules! uuid_id_type {
    ($(#[$meta:meta])* $vis:vis $type:ident) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ::serde::Serialize, ::serde::Deserialize,
            ::diesel::expression::AsExpression, ::diesel::deserialize::FromSqlRow,
        )]
        #[serde(transparent)]
        #[diesel(sql_type = ::diesel::sql_types::Uuid)]
        $vis struct $type($crate::Uuid);

        impl<DB> ::diesel::deserialize::FromSql<::diesel::sql_types::Uuid, DB> for $type
        where
            DB: ::diesel::backend::Backend,
            $crate::Uuid: ::diesel::deserialize::FromSql<::diesel::sql_types::Uuid, DB>,
        {
            fn from_sql(bytes: DB::RawValue<'_>) -> ::diesel::deserialize::Result<Self> {
                <$crate::Uuid as ::diesel::deserialize::FromSql<::diesel::sql_types::Uuid, DB>>::from_sql(bytes)
                    .map(Self)
            }
        }

        impl ::diesel::serialize::ToSql<::diesel::sql_types::Uuid, ::diesel::pg::Pg> for $type {
            fn to_sql<'b>(
                &'b self,
                out: &mut ::diesel::serialize::Output<'b, '_, ::diesel::pg::Pg>,
            ) -> ::diesel::serialize::Result {
                ::diesel::serialize::ToSql::<::diesel::sql_types::Uuid, ::diesel::pg::Pg>::to_sql(&self.0, out)
            }
        }
    };
}

/// The schema of a type that [`uuid_id!`] defines.
#[doc(hidden)]
#[macro_export]
#[cfg(feature = "openapi")]
macro_rules! uuid_id_schema {
    ($type:ident) => {
        impl ::utoipa::PartialSchema for $type {
            fn schema() -> ::utoipa::openapi::RefOr<::utoipa::openapi::schema::Schema> {
                $crate::id::uuid_schema()
            }
        }

        impl ::utoipa::ToSchema for $type {
            fn name() -> ::std::borrow::Cow<'static, str> {
                $crate::id::UUID_SCHEMA.into()
            }
        }
    };
}

/// Without the feature `openapi`, [`uuid_id!`] defines no schema.
#[doc(hidden)]
#[macro_export]
#[cfg(not(feature = "openapi"))]
macro_rules! uuid_id_schema {
    ($type:ident) => {};
}

/// Name of the schema that all UUID ids share.
#[cfg(feature = "openapi")]
pub const UUID_SCHEMA: &str = "Uuid";

/// The schema that all UUID ids share.
#[cfg(feature = "openapi")]
pub fn uuid_schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
    use utoipa::openapi::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
    let format = SchemaFormat::KnownFormat(KnownFormat::Uuid);
    ObjectBuilder::new().schema_type(Type::String).format(Some(format)).into()
}

uuid_id!(
    /// Id of a provisioned resource.
    pub ResourceId
);
uuid_id!(
    /// Id of a DNS record.
    pub DnsRecordId
);
uuid_id!(
    /// Id of a custom domain.
    pub DomainId
);
uuid_id!(
    /// Id of a secret.
    pub SecretId
);
uuid_id!(
    /// Id of a feature activation.
    pub ActivationId
);
uuid_id!(
    /// Id of a job in provisioning.
    pub JobId
);
uuid_id!(
    /// Id of a build.
    pub BuildId
);
uuid_id!(
    /// Id of an entry of the audit log.
    pub AuditEntryId
);
uuid_id!(
    /// Id of an event in the life of a platform.
    pub LifecycleEventId
);

impl BuildId {
    /// The id of the build of a job, which is the id of the job.
    pub const fn of_job(job: JobId) -> Self {
        Self(job.0)
    }
}

impl StackId {
    /// The literal `default`.
    pub fn default_stack() -> Self {
        Self("default".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn random_ids_are_valid() {
        for _ in 0..1000 {
            let id = PlatformId::random();
            assert_eq!(PlatformId::parse(id.as_str()).unwrap(), id);
        }
    }

    #[test]
    fn uuid_ids_parse_and_are_ordered_by_time() {
        let first = ResourceId::generate();
        assert_eq!(ResourceId::parse(&first.to_string()).unwrap(), first);
        assert_eq!(serde_json::to_value(first).unwrap(), serde_json::json!(first.uuid().to_string()));
        assert_eq!(serde_json::from_value::<ResourceId>(serde_json::json!(first)).unwrap(), first);
        assert!(ResourceId::generate() > first && first < ResourceId::MAX);
        assert_eq!(JobId::parse("job 1").unwrap_err(), "must be a UUID");
    }

    #[test]
    fn only_stack_ids_accept_default() {
        assert_eq!(StackId::parse("default").unwrap(), StackId::default_stack());
        assert!(PlatformId::parse("default").is_err());
        assert!(EntityId::parse("default").is_err());
    }

    proptest! {
        #[test]
        fn short_ids_are_exactly_ten_characters_of_the_alphabet(text in "\\PC{0,12}") {
            let valid = text.len() == 10 && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            prop_assert_eq!(EntityId::parse(&text).is_ok(), valid);
        }
    }
}
