//! Statuses of sagas and their steps.

text_enum! {
    /// Status of a saga.
    pub enum SagaStatus {
        /// The saga is recorded and has not begun.
        Pending = "pending",
        Running = "running",
        /// The runner undoes the steps in reverse order.
        Undoing = "undoing",
        Completed = "completed",
        /// Every effect is undone.
        Undone = "undone",
        /// The saga can neither continue nor be undone without help: a dead letter.
        Stuck = "stuck",
    }
}

text_enum! {
    /// Status of a step.
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
