//! Provisioning jobs.

use crate::saga::SagaStatus;

text_enum! {
    /// Type of a job.
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
    /// Status of a job.
    pub enum JobStatus {
        Pending = "PENDING",
        Running = "RUNNING",
        Completed = "COMPLETED",
        /// The job can neither continue nor be undone without help: a dead letter that an operator retries or discards.
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
    /// The status of the saga behind the job.
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
    fn job_and_saga_statuses_correspond_one_to_one() {
        for status in SagaStatus::ALL {
            assert_eq!(JobStatus::from(*status).saga(), *status);
        }
    }
}
