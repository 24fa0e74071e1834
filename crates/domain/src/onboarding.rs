//! Onboarding sessions.

text_enum! {
    /// How an onboarding stands. `failed` and `cancelled` are reached only when every effect is undone.
    pub enum SessionStatus {
        InProgress = "in_progress",
        Completed = "completed",
        Failed = "failed",
        Cancelled = "cancelled",
    }
}
