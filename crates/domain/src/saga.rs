//! How durable work in steps stands.

text_enum! {
    /// How a saga stands.
    pub enum SagaStatus {
        /// Recorded, not begun.
        Pending = "pending",
        Running = "running",
        /// Its steps are being undone, in reverse.
        Undoing = "undoing",
        Completed = "completed",
        /// Every effect is undone.
        Undone = "undone",
        /// It can go neither on nor back by itself: a dead letter.
        Stuck = "stuck",
    }
}

text_enum! {
    /// How a step stands.
    pub enum StepStatus {
        Pending = "pending",
        InProgress = "in_progress",
        Completed = "completed",
        Failed = "failed",
        Compensated = "compensated",
        Skipped = "skipped",
    }
}

text_enum! {
    /// Why a saga is undone.
    pub enum Cause {
        Failed = "failed",
        Cancelled = "cancelled",
        Expired = "expired",
        /// Nobody will try it any more: what it has done and not undone stays as it is.
        Discarded = "discarded",
    }
}

impl SagaStatus {
    /// Whether a runner has something to do.
    pub const fn is_in_progress(self) -> bool {
        matches!(self, Self::Pending | Self::Running | Self::Undoing)
    }
}
