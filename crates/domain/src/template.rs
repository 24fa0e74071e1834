//! Stack templates and their versions.

text_enum! {
    /// Whether something new may be made from a stack template, or from one version of it.
    pub enum TemplateStatus {
        Active = "active",
        Deprecated = "deprecated",
    }
}
