-- Failures by template last month.
SELECT coalesce(template, name) AS template, count(*) AS failures
FROM catalogue
WHERE record = 'Archive' AND phase IN ('Failed', 'Error') AND date >= '2026-10-01' AND date < '2026-11-01'
GROUP BY 1 ORDER BY failures DESC, 1;
