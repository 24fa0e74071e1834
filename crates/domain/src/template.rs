//! Stack templates and their versions.

text_enum! {
    /// Status of a stack template or of one of its versions. A deprecated one cannot be newly activated.
    pub enum TemplateStatus {
        Active = "active",
        Deprecated = "deprecated",
    }
}
