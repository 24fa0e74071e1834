//! Provisioning jobs: what is asked of the one service that touches a provider.

use crate::saga::SagaStatus;

text_enum! {
    /// What a job does.
    pub enum JobType {
        ProvisionPlatform = "PROVISION_PLATFORM",
        DeprovisionPlatform = "DEPROVISION_PLATFORM",
        ActivateFeature = "ACTIVATE_FEATURE",
        DeactivateFeature = "DEACTIVATE_FEATURE",
        ActivateStack = "ACTIVATE_STACK",
        DeactivateStack = "DEACTIVATE_STACK",
    }
}

text_enum! {
    /// How a job stands.
    pub enum JobStatus {
        Pending = "PENDING",
        Running = "RUNNING",
        Completed = "COMPLETED",
        /// It can go neither on nor back by itself: a dead letter, for someone to retry.
        Failed = "FAILED",
        RollingBack = "ROLLING_BACK",
        RolledBack = "ROLLED_BACK",
    }
}

impl From<SagaStatus> for JobStatus {
    fn from(status: SagaStatus) -> Self {
        match status {
            SagaStatus::Pending => Self::Pending,
            SagaStatus::Running => Self::Running,
            SagaStatus::Completed => Self::Completed,
            SagaStatus::Stuck => Self::Failed,
            SagaStatus::Undoing => Self::RollingBack,
            SagaStatus::Undone => Self::RolledBack,
        }
    }
}

impl JobStatus {
    /// The status of the saga that a job is.
    pub const fn saga(self) -> SagaStatus {
        match self {
            Self::Pending => SagaStatus::Pending,
            Self::Running => SagaStatus::Running,
            Self::Completed => SagaStatus::Completed,
            Self::Failed => SagaStatus::Stuck,
            Self::RollingBack => SagaStatus::Undoing,
            Self::RolledBack => SagaStatus::Undone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_sets_of_statuses_match() {
        for status in SagaStatus::ALL {
            assert_eq!(JobStatus::from(*status).saga(), *status);
        }
    }
}
