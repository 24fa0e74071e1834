//! Builds of a platform for an environment.

text_enum! {
    /// Status of a build.
    pub enum BuildStatus {
        Unknown = "unknown",
        Building = "building",
        Success = "success",
        Failed = "failed",
    }
}

text_enum! {
    /// Trigger of a build.
    pub enum BuildTrigger {
        FeatureActivation = "feature_activation",
        Manual = "manual",
        Push = "push",
    }
}
