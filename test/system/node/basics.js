// What an application does with node-postgres: queries, parameters, named statements, transactions, errors, a pool.
'use strict';
const assert = require('node:assert');
const { Client, Pool } = require('pg');

async function queries() {
  const client = new Client();
  await client.connect();
  await client.query('CREATE TABLE items (id int PRIMARY KEY, name text, made timestamptz DEFAULT now())');
  for (let i = 0; i < 20; i++) {
    await client.query('INSERT INTO items (id, name) VALUES ($1, $2)', [i, `item ${i}`]);
  }
  const { rows } = await client.query('SELECT id, name FROM items WHERE id = $1', [7]);
  assert.deepStrictEqual(rows, [{ id: 7, name: 'item 7' }]);
  const several = await client.query("SELECT 1 AS a; SELECT 2 AS b, 3 AS c");
  assert.deepStrictEqual(several.map((result) => result.rows[0]), [{ a: 1 }, { b: 2, c: 3 }]);
  assert.strictEqual((await client.query('UPDATE items SET name = name')).rowCount, 20);
  assert.strictEqual((await client.query({ text: 'SELECT count(*) FROM items', rowMode: 'array' })).rows[0][0], '20');
  assert.strictEqual((await client.query({ text: 'SELECT $1::int + 1 AS n', values: [1], binary: true })).rows[0].n, 2);
  await client.end();
}

async function errors() {
  const client = new Client();
  await client.connect();
  await assert.rejects(client.query('SELECT 1/0'), { code: '22012' });
  await assert.rejects(client.query('INSERT INTO items (id) VALUES ($1)', [1]), { code: '23505', table: 'items' });
  await client.query('BEGIN');
  await assert.rejects(client.query('SELEC'), { code: '42601' });
  await assert.rejects(client.query('SELECT 1'), { code: '25P02' });
  await client.query('ROLLBACK');
  await client.query('BEGIN');
  await client.query('DELETE FROM items');
  await client.query('ROLLBACK');
  assert.strictEqual((await client.query('SELECT count(*)::int AS n FROM items')).rows[0].n, 20);
  await client.end();
}

async function namedStatements() {
  const clients = [new Client(), new Client(), new Client()];
  await Promise.all(clients.map((client) => client.connect()));
  for (let turn = 0; turn < 5; turn++) {
    await Promise.all(clients.map(async (client, i) => {
      // The same name stands for another text in each client.
      const query = { name: 'lookup', text: `SELECT $1::int * 10 + ${i} AS n`, values: [turn] };
      assert.strictEqual((await client.query(query)).rows[0].n, turn * 10 + i);
    }));
  }
  await Promise.all(clients.map((client) => client.end()));
}

async function notifications() {
  const listener = new Client();
  const sender = new Client();
  await listener.connect();
  await sender.connect();
  const heard = new Promise((resolve) => listener.on('notification', (message) => resolve(message.payload)));
  await listener.query('LISTEN news');
  await sender.query("SELECT pg_notify('news', 'hello')");
  assert.strictEqual(await heard, 'hello');
  await listener.end();
  await sender.end();
}

async function pool() {
  const pool = new Pool({ max: 6 });
  const work = Array.from({ length: 200 }, async (_, i) => {
    const client = await pool.connect();
    try {
      await client.query('BEGIN');
      const { rows } = await client.query('SELECT $1::int AS n, pg_backend_pid() AS pid', [i]);
      const again = await client.query('SELECT pg_backend_pid() AS pid');
      assert.strictEqual(again.rows[0].pid, rows[0].pid);
      await client.query('COMMIT');
      return rows[0].n;
    } finally {
      client.release();
    }
  });
  assert.deepStrictEqual(await Promise.all(work), Array.from({ length: 200 }, (_, i) => i));
  await pool.end();
}

(async () => {
  for (const step of [queries, errors, namedStatements, notifications, pool]) {
    await step();
    console.log(`${step.name} done`);
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
