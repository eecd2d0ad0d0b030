-- The catalogue as a table: one line per archive and per deletion. $GENERATION is the folder g=<N> of the current generation.
CREATE VIEW catalogue AS
SELECT DISTINCT ON (record, key, uid) *
FROM read_json('$GENERATION/cluster=*/namespace=*/date=*/*.jsonl.gz',
  format = 'newline_delimited', hive_partitioning = true, hive_types_autocast = false,
  columns = {
    record: 'VARCHAR', cluster: 'VARCHAR', namespace: 'VARCHAR', name: 'VARCHAR', uid: 'VARCHAR', phase: 'VARCHAR',
    message: 'VARCHAR', createdAt: 'TIMESTAMPTZ', startedAt: 'TIMESTAMPTZ', finishedAt: 'TIMESTAMPTZ',
    durationSeconds: 'BIGINT', template: 'VARCHAR', cronWorkflow: 'VARCHAR', labels: 'MAP(VARCHAR, VARCHAR)',
    parameters: 'MAP(VARCHAR, VARCHAR)', resourcesDuration: 'MAP(VARCHAR, BIGINT)', nodes: 'BIGINT',
    suspendedSeconds: 'BIGINT', longestSuspensionSeconds: 'BIGINT', stuckSeconds: 'BIGINT', key: 'VARCHAR',
    manifestKey: 'VARCHAR', digest: 'VARCHAR', bytes: 'BIGINT', storedBytes: 'BIGINT', versionId: 'VARCHAR',
    fingerprint: 'VARCHAR', archivedAt: 'TIMESTAMPTZ', deletedAt: 'TIMESTAMPTZ', policy: 'VARCHAR', reason: 'VARCHAR'
  });
