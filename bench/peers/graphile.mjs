// SPDX-License-Identifier: MIT
// graphile-worker: node graphile.mjs JOBS SINGLES.  No-op jobs a second from a full queue, in the fastest
// configuration that its documentation offers; then one at a time on an idle queue, insert -> start.
import { createRequire } from 'node:module'
const require = createRequire(process.cwd() + '/')
const pg = require('pg')
const { Logger, run, runMigrations } = require('graphile-worker')

const jobs = Number(process.argv[2]), singles = Number(process.argv[3])
const pgPool = new pg.Pool({ max: 12 })
await runMigrations({ pgPool })
await pgPool.query(`SELECT graphile_worker.add_jobs(array_agg(json_populate_record(null::graphile_worker.job_spec,
  json_build_object('identifier', 'none')))) FROM generate_series(1, $1)`, [jobs])
await pgPool.query('ANALYZE graphile_worker._private_jobs')
let done = 0, started = null
const begin = process.hrtime.bigint()
const runner = await run({
  pgPool,
  taskList: { none() { done++; if (started) started(process.hrtime.bigint()) } },
  logger: new Logger(() => () => {}),
  noHandleSignals: true,
  preset: { worker: { concurrentJobs: 24, localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } },
})
while (Number((await pgPool.query('SELECT count(*) FROM graphile_worker._private_jobs')).rows[0].count) > 0)
  await new Promise((r) => setTimeout(r, 5))
const rate = done / (Number(process.hrtime.bigint() - begin) / 1e9)
const counted = done
const times = []
for (let i = 0; i < singles; i++) {
  const at = await new Promise((resolve) => {
    const begin = process.hrtime.bigint()
    started = (now) => resolve(Number(now - begin) / 1e6)
    pgPool.query("SELECT graphile_worker.add_job('none')").catch(() => process.exit(1))
  })
  started = null
  times.push(at)
  await new Promise((r) => setTimeout(r, 10))
}
times.sort((a, b) => a - b)
console.log(JSON.stringify({ jobs_per_s: rate, ended: counted, median_ms: times[singles >> 1], p99_ms: times[Math.floor(singles * 0.99)] }))
await runner.stop()
await pgPool.end()
process.exit(0)
