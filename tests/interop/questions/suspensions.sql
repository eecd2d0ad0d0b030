-- The longest suspensions.
SELECT namespace, name, longestSuspensionSeconds AS seconds
FROM catalogue
WHERE record = 'Archive' AND longestSuspensionSeconds > 0
ORDER BY seconds DESC LIMIT 10;
