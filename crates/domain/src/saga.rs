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
    /// The reason why a saga is undone.
    pub enum Cause {
        Failed = "failed",
        Cancelled = "cancelled",
        Expired = "expired",
        /// An operator discarded the saga. Effects that were not undone stay.
        Discarded = "discarded",
    }
}

impl SagaStatus {
    /// Returns true if a runner still has work to do on the saga.
    pub const fn is_in_progress(self) -> bool {
        matches!(self, Self::Pending | Self::Running | Self::Undoing)
    }
}
