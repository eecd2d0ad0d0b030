-- What was deleted when, by which policy, and where its archive is.
SELECT d.deletedAt, d.namespace, d.name, d.policy, d.reason, d.key, a.digest = d.digest AS archived
FROM catalogue d LEFT JOIN catalogue a ON a.record = 'Archive' AND a.key = d.key
WHERE d.record = 'Deletion'
ORDER BY d.deletedAt;
