DROP TABLE lifecycle_events;
DROP TABLE platforms;
