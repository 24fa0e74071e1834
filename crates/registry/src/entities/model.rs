//! Rows of entities.

use chrono::{DateTime, Utc};
use diesel::{AsChangeset, Identifiable, Insertable, Queryable, Selectable};
use domain::{
    Cursor, EntityId, Error, Name, PlatformId, Result, Slug,
    entity::{EntityStatus, EntityType, MAX_DEPTH},
};
use runtime::clock;

use crate::schema::entities;

/// Row of an entity.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable, Identifiable, AsChangeset)]
#[diesel(table_name = entities, treat_none_as_default_value = false, treat_none_as_null = true)]
pub(crate) struct EntityRow {
    pub(crate) id: EntityId,
    pub(crate) platform_id: PlatformId,
    pub(crate) parent_id: Option<EntityId>,
    pub(crate) kind: EntityType,
    pub(crate) name: Name,
    pub(crate) slug: Slug,
    pub(crate) status: EntityStatus,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) deleted_at: Option<DateTime<Utc>>,
    /// Level in the tree, starting at 1 for tenants.
    pub(crate) depth: i32,
    /// Ancestors, root first.
    pub(crate) path: Vec<EntityId>,
}

/// Cursor in the descendants of an entity, which are sorted by depth, then oldest first.
#[derive(Debug, Clone)]
pub(crate) struct DepthCursor {
    pub(crate) depth: i32,
    pub(crate) at: DateTime<Utc>,
    pub(crate) id: String,
}

impl DepthCursor {
    /// Cursor before the first descendant.
    pub(crate) const fn start() -> Self {
        Self { depth: 0, at: DateTime::UNIX_EPOCH, id: String::new() }
    }
}

/// Fields of a new entity.
#[derive(Debug, Clone)]
pub(crate) struct NewEntity {
    pub(crate) name: Name,
    pub(crate) slug: Slug,
    pub(crate) kind: EntityType,
    pub(crate) parent_id: Option<EntityId>,
}

impl NewEntity {
    /// Checks that a tenant has no parent and a subtenant has one.
    ///
    /// # Errors
    /// [`domain::Kind::Validation`] at `parentId`.
    pub(crate) fn check(&self) -> Result<()> {
        match (self.kind, &self.parent_id) {
            (EntityType::Tenant, Some(_)) => {
                Err(Error::invalid("parentId", "must be absent: a tenant has no parent"))
            }
            (EntityType::Subtenant, None) => Err(Error::invalid("parentId", "is required for a subtenant")),
            _ => Ok(()),
        }
    }

    /// Returns the row below `parent`, with a new random id.
    ///
    /// # Errors
    /// [`domain::Kind::Validation`] if the tree would have too many levels.
    pub(crate) fn into_row(self, platform: &PlatformId, parent: Option<&EntityRow>) -> Result<EntityRow> {
        let depth = parent.map_or(0, |parent| parent.depth) + 1;
        if depth > MAX_DEPTH {
            return Err(Error::invalid(
                "parentId",
                format!("is too deep: the tree has at most {MAX_DEPTH} levels"),
            ));
        }
        let now = clock::now();
        Ok(EntityRow {
            id: EntityId::random(),
            platform_id: platform.clone(),
            parent_id: self.parent_id,
            kind: self.kind,
            name: self.name,
            slug: self.slug,
            status: EntityStatus::Active,
            created_at: now,
            updated_at: now,
            deleted_at: None,
            depth,
            path: parent.map(EntityRow::path_with_self).unwrap_or_default(),
        })
    }
}

impl EntityRow {
    /// The tenant at the root of the entity's branch; the entity itself if it is a tenant.
    pub(crate) fn tenant(&self) -> &EntityId {
        self.path.first().unwrap_or(&self.id)
    }

    /// The entity and its ancestors, root first: the `path` of its children.
    pub(crate) fn path_with_self(&self) -> Vec<EntityId> {
        self.path.iter().chain([&self.id]).cloned().collect()
    }

    /// Cursor in the descendants of an ancestor.
    pub(crate) fn depth_cursor(&self) -> DepthCursor {
        DepthCursor { depth: self.depth, at: self.created_at, id: self.id.to_string() }
    }

    /// Cursor in the list of entities.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { at: self.created_at, id: self.id.to_string() }
    }
}
