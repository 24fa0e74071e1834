//! Use cases of templates.

use database::Record;
use domain::{Error, Kind, Patch, Result, Slug, template::TemplateStatus};
use identity::{Done, WriteCtx};
use runtime::clock;

use super::{
    model::{CreateTemplate, Template, TemplateDetail},
    store,
};
use crate::App;

/// Creates a template without versions.
pub(crate) async fn create(app: &App, ctx: &WriteCtx, new: CreateTemplate) -> Result<Done<TemplateDetail>> {
    app.db
        .tx("stack_template.create", ctx, async |tx| {
            let row = new.clone().into_row();
            let record = Record::change("stack_template.created", "stack_template", row.id).after(&row);
            let detail = TemplateDetail { template: row.clone(), latest_version: None };
            let on_constraint =
                |constraint: &str| (constraint == "stack_templates_name").then(|| already_exists(&new.name));
            tx.finish((store::insert(row),), record, detail, on_constraint).await
        })
        .await
}

fn already_exists(name: &Slug) -> Error {
    Error::new(Kind::AlreadyExists, format!("Template '{name}' already exists.")).with("name", name)
}

/// Changes of a template.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    pub(crate) display_name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) icon: Patch<String>,
    pub(crate) status: Option<TemplateStatus>,
}

impl Change {
    fn apply(self, to: &Template) -> Template {
        let mut after = to.clone();
        after.display_name = self.display_name.unwrap_or(after.display_name);
        after.description = self.description.unwrap_or(after.description);
        after.icon = self.icon.apply(after.icon);
        after.status = self.status.unwrap_or(after.status);
        after
    }
}

/// Changes a template. A change that has no effect is not recorded.
pub(crate) async fn update(
    app: &App,
    ctx: &WriteCtx,
    name: &Slug,
    change: Change,
) -> Result<Done<TemplateDetail>> {
    app.db
        .tx("stack_template.update", ctx, async |tx| {
            let c = tx.conn().await?;
            store::lock_for_update(c, name).await?;
            let before = store::detail(c, name).await?;
            ctx.check_match(&before)?;
            let mut template = change.clone().apply(&before.template);
            if template == before.template {
                return Ok(before);
            }
            template.updated_at = clock::now();
            let record = Record::change(action(&before.template, &template), "stack_template", template.id)
                .before(&before.template)
                .after(&template);
            let update = (store::update(template.clone()),);
            tx.finish(update, record, TemplateDetail { template, ..before }, |_| None).await
        })
        .await
}

fn action(before: &Template, after: &Template) -> &'static str {
    match after.status {
        status if status == before.status => "stack_template.updated",
        TemplateStatus::Active => "stack_template.activated",
        TemplateStatus::Deprecated => "stack_template.deprecated",
    }
}
