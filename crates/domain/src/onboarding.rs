//! Onboardings.

text_enum! {
    /// Status of an onboarding. An onboarding is `failed` or `cancelled` only after all its effects are undone.
    pub enum SessionStatus {
        InProgress = "in_progress",
        Completed = "completed",
        Failed = "failed",
        Cancelled = "cancelled",
    }
}
