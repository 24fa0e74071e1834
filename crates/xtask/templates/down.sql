DROP TABLE ${plural};
