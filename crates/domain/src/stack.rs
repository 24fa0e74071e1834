//! Workspace stacks: running instances of a stack template.

text_enum! {
    /// How a stack stands.
    pub enum StackStatus {
        Pending = "pending",
        Provisioning = "provisioning",
        Active = "active",
        Failed = "failed",
    }
}
