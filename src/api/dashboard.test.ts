import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fastify from 'fastify';
import { expect, test } from 'vitest';
import { addDashboard } from './dashboard.ts';

test('a build that is missing is said to be, and served once it is there', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'godwit-dashboard-'));
  const app = fastify();
  addDashboard(app, directory);
  try {
    const missing = await app.inject('/');
    expect(missing.statusCode).toBe(503);
    expect(missing.body).toContain('npm run setup');
    expect(missing.headers['cache-control']).toBe('no-store');
    mkdirSync(join(directory, 'assets'));
    writeFileSync(join(directory, 'index.html'), '<!doctype html>');
    writeFileSync(join(directory, 'assets', 'index-1.js'), 'export {};');
    const page = await app.inject({ url: '/', headers: { 'accept-encoding': 'gzip' } });
    expect(page.statusCode).toBe(200);
    expect(page.headers['content-encoding']).toBe('gzip');
    expect(page.headers['content-security-policy']).toContain("frame-ancestors 'none'");
    const script = await app.inject('/assets/index-1.js');
    expect(script.headers['content-type']).toBe('text/javascript; charset=utf-8');
    expect((await app.inject('/assets/index-2.js')).statusCode).toBe(404);
    expect((await app.inject('/assets/..%2findex.html')).statusCode).toBe(404);
  } finally {
    await app.close();
    rmSync(directory, { recursive: true });
  }
});
