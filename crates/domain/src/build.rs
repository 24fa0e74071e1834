//! Builds: what was built for a platform and environment, and how it ended.

text_enum! {
    /// How a build stands.
    pub enum BuildStatus {
        Unknown = "unknown",
        Building = "building",
        Success = "success",
        Failed = "failed",
    }
}

text_enum! {
    /// What started a build.
    pub enum BuildTrigger {
        FeatureActivation = "feature_activation",
        Manual = "manual",
        Push = "push",
    }
}
