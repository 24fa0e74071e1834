DROP TABLE turn_queue;
