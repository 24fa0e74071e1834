//! Entities: the tree of tenants inside a platform.

text_enum! {
    /// Type of an entity. A tenant is a root of the tree; the parent of a subtenant is a tenant or a subtenant.
    pub enum EntityType {
        Tenant = "tenant",
        Subtenant = "subtenant",
    }
}

text_enum! {
    /// Status of an entity.
    pub enum EntityStatus {
        Active = "active",
        Suspended = "suspended",
        Deleted = "deleted",
    }
}

/// Maximum number of levels of the tree. A tenant is at level 1.
pub const MAX_DEPTH: i32 = 16;
