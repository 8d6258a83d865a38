// The shop of test/support/shop.py, with node-postgres and a pool: what it sees is printed, a line per step.
'use strict';
const { Pool } = require('pg');

const pool = new Pool({ max: 3 });
// kind, customer, amount; the caller's argument
const steps = JSON.parse(process.argv[2]);

async function inTransaction(work) {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK');
    return error.code;
  } finally {
    client.release();
  }
}

async function step(kind, number, amount) {
  if (kind === 'report') {
    return (await pool.query('SELECT name, spent FROM spending ORDER BY name')).rows;
  }
  if (kind === 'look') {
    const named = { name: 'look', text: 'SELECT id, amount FROM orders WHERE customer_id = $1 ORDER BY id', values: [number] };
    return (await pool.query(named)).rows;
  }
  if (kind === 'rename') {
    const values = [`customer ${number}, ${amount}`, number];
    return (await pool.query('UPDATE customers SET name = $1 WHERE id = $2 RETURNING name', values)).rows;
  }
  const outcome = await inTransaction(async (client) => {
    const credit = { text: 'SELECT credit FROM customers WHERE id = $1', values: [number] };
    const before = (await client.query(credit)).rows;
    const spent = kind === 'overdraw' ? 100000 : amount;
    await client.query('UPDATE customers SET credit = credit - $1 WHERE id = $2', [spent, number]);
    await client.query('INSERT INTO orders (customer_id, amount) VALUES ($1, $2)', [number, amount]);
    const inside = (await client.query(credit)).rows;
    if (kind === 'undo') {
      await client.query('SELECT 1/0');
    }
    return [before, inside];
  });
  return [outcome, (await pool.query('SELECT count(*)::int AS n FROM orders')).rows];
}

(async () => {
  for (const [kind, number, amount] of steps) {
    console.log(JSON.stringify(await step(kind, number, amount)));
  }
  await pool.end();
})();
