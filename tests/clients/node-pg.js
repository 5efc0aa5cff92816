// node-postgres: queries with and without parameters, prepared statements, errors, a pool.
const { Client, Pool } = require("pg");

async function main(port) {
  const where = { host: "127.0.0.1", port, database: "satisflow", user: "u" };
  const client = new Client(where);
  await client.connect();
  const plain = await client.query("select count(*) as n, max(event_time) as latest from events");
  console.log(plain.rows[0].n, plain.rows[0].latest instanceof Date);
  const parameters = await client.query("select kpi, n from kpi_latest where kpi = $1 and n > $2 limit 1", ["csat", 0]);
  console.log(parameters.rows[0].kpi, parameters.fields.map((field) => field.name).join());
  const named = { name: "by-kind", text: "select count(*) as n from events where kind = $1" };
  for (let round = 0; round < 3; round++) {
    const { rows } = await client.query({ ...named, values: ["rating"] });
    console.log(Number(rows[0].n) > 0);
  }
  await client.query("begin");
  await client.query("delete from kpis").catch((error) => console.log(error.code));
  await client.query("rollback");
  await client.query("set time zone 'Asia/Shanghai'");
  console.log((await client.query("show timezone")).rows[0].TimeZone);
  await client.end();
  const pool = new Pool({ ...where, max: 3 });
  const all = await Promise.all([1, 2, 3, 4, 5].map((n) => pool.query("select $1::int + 1 as n", [n])));
  console.log(all.map((one) => one.rows[0].n).join());
  await pool.end();
}

main(Number(process.argv[2])).catch((error) => {
  console.log("failed:", error.message);
  process.exitCode = 1;
});
