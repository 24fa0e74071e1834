//! The rows of entities.

use chrono::{DateTime, Utc};
use diesel::{AsChangeset, Identifiable, Insertable, Queryable, Selectable};
use domain::{
    Cursor, EntityId, Error, Name, PlatformId, Result, Slug,
    entity::{EntityStatus, EntityType, MAX_DEPTH},
};
use runtime::clock;

use crate::schema::entities;

/// The row of an entity.
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
    /// Level in the tree; a tenant is level 1.
    pub(crate) depth: i32,
    /// The ancestors, root first.
    pub(crate) path: Vec<EntityId>,
}

/// A place among the entities under one: by depth, then oldest first.
#[derive(Debug, Clone)]
pub(crate) struct DepthCursor {
    pub(crate) depth: i32,
    pub(crate) at: DateTime<Utc>,
    pub(crate) id: String,
}

impl DepthCursor {
    /// The place before all of them.
    pub(crate) const fn start() -> Self {
        Self { depth: 0, at: DateTime::UNIX_EPOCH, id: String::new() }
    }
}

/// What a new entity is made of.
#[derive(Debug, Clone)]
pub(crate) struct NewEntity {
    pub(crate) name: Name,
    pub(crate) slug: Slug,
    pub(crate) kind: EntityType,
    pub(crate) parent_id: Option<EntityId>,
}

impl NewEntity {
    /// Refuses a root that is no tenant and a tenant that is no root.
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

    /// The row under `parent`, with a new random id.
    ///
    /// # Errors
    /// [`domain::Kind::Validation`] when the tree would grow too deep.
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
            path: parent.map(EntityRow::line).unwrap_or_default(),
        })
    }
}

impl EntityRow {
    /// The root of the branch that it is on: itself, if it is a tenant.
    pub(crate) fn tenant(&self) -> &EntityId {
        self.path.first().unwrap_or(&self.id)
    }

    /// Itself and its ancestors, root first: the ancestors of a child.
    pub(crate) fn line(&self) -> Vec<EntityId> {
        self.path.iter().chain([&self.id]).cloned().collect()
    }

    /// Where it stands among what is under an entity.
    pub(crate) fn place_by_depth(&self) -> DepthCursor {
        DepthCursor { depth: self.depth, at: self.created_at, id: self.id.to_string() }
    }

    /// Where it stands in the list.
    pub(crate) fn place(&self) -> Cursor {
        Cursor { at: self.created_at, id: self.id.to_string() }
    }
}
