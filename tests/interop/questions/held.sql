-- Resource time held while stuck: the share of each run's resource time that falls to the time it was seen stuck.
SELECT coalesce(template, name) AS template,
  sum((resourcesDuration['cpu'] * least(stuckSeconds / durationSeconds, 1))::BIGINT) AS cpuSeconds,
  sum((resourcesDuration['memory'] * least(stuckSeconds / durationSeconds, 1))::BIGINT) AS memorySeconds
FROM catalogue
WHERE record = 'Archive' AND stuckSeconds > 0 AND durationSeconds > 0
GROUP BY 1 ORDER BY cpuSeconds DESC;
