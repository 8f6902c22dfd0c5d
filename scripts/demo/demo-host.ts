/**
 * One of the demo's two hosts: a real daemon on ports that the system chose, with a state directory of its own.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GodwitClient } from '../../src/client/godwit-client.ts';
import { spawnGodwit } from './demo-process.ts';

interface ReadyFacts {
  readonly api: string;
  readonly migration: string;
  readonly pid: number;
}

const LOG_TAIL_CHARACTERS = 2000;

export class DemoHost {
  readonly name: string;
  /** URL of its API. */
  readonly api: string;
  /** HOST:PORT of its migration port. */
  readonly migration: string;
  readonly pid: number;
  readonly client: GodwitClient;
  readonly #child: ChildProcess;

  private constructor(name: string, facts: ReadyFacts, child: ChildProcess) {
    this.name = name;
    this.api = facts.api;
    this.migration = facts.migration;
    this.pid = facts.pid;
    this.client = new GodwitClient({ url: facts.api });
    this.#child = child;
  }

  /** Resolves when it is ready. Throws with the daemon's own words when it ends instead. */
  static async start(name: string, directory: string): Promise<DemoHost> {
    const logPath = join(directory, `${name}.log`);
    const log = openSync(logPath, 'a');
    const args = ['--json', '--name', name, '--state', join(directory, name), '--log-format', 'json'];
    const ports = ['--listen', '127.0.0.1:0', '--migration-listen', '127.0.0.1:0'];
    const child = spawnGodwit(['host', ...args, ...ports], { stdout: 'pipe', stderr: log });
    closeSync(log);
    const ended = once(child, 'close').then(() => {
      throw new Error(
        `Host daemon ${name} did not start: ${readFileSync(logPath, 'utf8').slice(-LOG_TAIL_CHARACTERS)}`,
      );
    });
    const facts = await Promise.race([readyFacts(child), ended]);
    ended.catch(() => undefined);
    return new DemoHost(name, facts, child);
  }

  /** Lets the demo end while the daemon runs on. */
  async leave(): Promise<void> {
    this.#child.stdout?.destroy();
    this.#child.unref();
    await this.client.close();
  }
}

async function readyFacts(child: ChildProcess): Promise<ReadyFacts> {
  let text = '';
  for await (const chunk of child.stdout!.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    text += chunk as string;
    // One document, indented: its last line is a brace alone.
    if (/^\}$/m.test(text)) return JSON.parse(text) as ReadyFacts;
  }
  throw new Error('The daemon closed its output before it was ready');
}
