-- The biggest objects.
SELECT name, bytes, storedBytes, key
FROM catalogue
WHERE record = 'Archive'
ORDER BY bytes DESC LIMIT 3;
