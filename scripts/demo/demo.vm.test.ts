import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { withFurther } from '../../test/support/further-cases.ts';
import { checkLeaks } from '../../test/support/leak-check.ts';

checkLeaks();

const DEMO = fileURLToPath(new URL('../demo.ts', import.meta.url));

requireCapability('vm')('the demo', () => {
  test('shows a VM that moves there and back, and leaves nothing', { timeout: 120_000 }, async () => {
    const demo = start(['--bandwidth', 'unlimited']);
    expect(await demo.ended).toBe(0);
    const text = demo.output();
    expect(text).toMatch(/downtime but for --verify +[\d.]+ ms +[\d.]+ ms/);
    expect(text).toMatch(/yes {2}heartbeats 1 to \d+: none missing, none twice/);
    expect(text).toContain('yes  memory intact: the guest verified its 51200 pages 3 times');
    expect(text).toContain('Nothing is left running.');
    expect(text).not.toContain('\u001b');
    expect(text).not.toContain('NO   ');
  });

  test.each<readonly [string, RegExp]>(
    withFurther(
      [],
      [
        ['in post-copy', /migration serving, /],
        ['before the VM runs', /2\. A Linux VM/],
        ['in pre-copy', /migration copying, /],
      ],
    ),
  )('interrupted %s it ends with 130 and leaves nothing', { timeout: 120_000 }, async (_, moment) => {
    const demo = start([]);
    await demo.wrote(moment);
    demo.child.kill('SIGINT');
    expect(await demo.ended).toBe(130);
    expect(demo.output()).toContain('Nothing is left running.');
  });

  test('ends when its reader has gone, and leaves nothing', { timeout: 120_000 }, async () => {
    const demo = start([]);
    await demo.wrote(/heartbeat 1 /);
    demo.child.stdout!.destroy();
    expect(await demo.ended).toBe(130);
  });

  test('an option that it does not know is a usage error', async () => {
    expect(await start(['--kep']).ended).toBe(2);
  });
});

interface RunningDemo {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  output(): string;
  wrote(pattern: RegExp): Promise<void>;
}

function start(args: readonly string[]): RunningDemo {
  const child = spawn(process.execPath, [DEMO, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  const ended = once(child, 'exit').then(([status]) => status as number | null);
  return {
    child,
    ended,
    output: () => text,
    async wrote(pattern) {
      const found = new Promise<void>((resolve) => {
        child.stdout.on('data', () => pattern.test(text) && resolve());
      });
      const tooEarly = ended.then(() => {
        throw new Error(`The demo ended before it wrote ${pattern}: ${text}`);
      });
      await Promise.race([found, tooEarly]);
      tooEarly.catch(() => undefined);
    },
  };
}
