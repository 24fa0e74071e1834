DROP INDEX sagas_of_flow;
