DROP TABLE manifests;
DROP TABLE feature_activations;
DROP TABLE stack_features;
