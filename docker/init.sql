-- Run once, in the database that the container was started for.
CREATE EXTENSION logintel;
