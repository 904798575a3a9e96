-- Is all well?
-- Chart: table. The first row is about all; colour the rows by state: critical red, warning yellow.
SELECT state, topic, detector, summary, what_to_do
FROM logintel.status
