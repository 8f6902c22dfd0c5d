/**
 * Programs that the administrator has run when a VM moves (docs/network.md).
 *
 * Must hold: one that fails or takes too long stops nothing but a migration that has not begun.
 */
import { GodwitError } from '../base/errors.ts';
import { type ProgramEnd, runProgram } from '../linux/run-program.ts';
import type { HookReport } from '../migration/report.ts';
import type { VmRecord } from '../migration/vm-record.ts';
import type { HostConfig } from './config.ts';
import type { Logger } from './logger.ts';

export type HookName = keyof HostConfig['hooks'];

/** What a hook is told. */
export interface HookOccasion {
  readonly vm: Pick<VmRecord, 'name' | 'uuid' | 'epoch' | 'memoryBytes' | 'vcpus' | 'nics'>;
  readonly migration: string;
  readonly direction: 'outgoing' | 'incoming';
  /** Name or address of the other host. */
  readonly peer: string;
}

export class Hooks {
  readonly #config: Pick<HostConfig, 'name' | 'hooks' | 'hookTimeoutMs'>;
  readonly #log: Pick<Logger, 'warn'>;

  constructor(config: Pick<HostConfig, 'name' | 'hooks' | 'hookTimeoutMs'>, log: Pick<Logger, 'warn'>) {
    this.#config = config;
    this.#log = log;
  }

  /** Empty when there is no such hook. Never rejects. */
  async run(hook: HookName, occasion: HookOccasion): Promise<HookReport[]> {
    const path = this.#config.hooks[hook];
    if (path === undefined) return [];
    const { vm, migration, direction, peer } = occasion;
    const { name, uuid, epoch, memoryBytes, vcpus, nics = [] } = vm;
    const told = { hook, host: this.#config.name, migration, direction, peer };
    const startedMs = performance.now();
    const end = await runProgram({
      path,
      input: `${JSON.stringify({ ...told, vm: { name, uuid, epoch, memoryBytes, vcpus, nics } })}\n`,
      environment: {
        GODWIT_HOOK: hook,
        GODWIT_HOST: told.host,
        GODWIT_MIGRATION: migration,
        GODWIT_DIRECTION: direction,
        GODWIT_PEER: peer,
        GODWIT_VM: name,
      },
      timeoutMs: this.#config.hookTimeoutMs,
    });
    const problem = explainEnd(path, this.#config.hookTimeoutMs, end);
    if (problem !== null) this.#log.warn({ vm: name, migration, hook, problem }, 'a hook failed');
    return [{ hook, ms: performance.now() - startedMs, problem }];
  }

  /** @throws GW_HOOK_REFUSED when the hook `preMigrate` fails */
  async ask(occasion: HookOccasion): Promise<HookReport[]> {
    const ran = await this.run('preMigrate', occasion);
    const reason = ran[0]?.problem ?? null;
    if (reason !== null) throw new GodwitError('GW_HOOK_REFUSED', { vm: occasion.vm.name, reason });
    return ran;
  }
}

/** Why it does not count as success; null when it does. */
function explainEnd(path: string, timeoutMs: number, end: ProgramEnd): string | null {
  const said = 'words' in end && end.words !== '' ? `: ${end.words}` : '';
  switch (end.kind) {
    case 'ended':
      return end.status === 0 ? null : `${path} ended with status ${end.status}${said}`;
    case 'signalled':
      return `${path} was ended by ${end.signal}${said}`;
    case 'late':
      return `${path} took longer than hookTimeout (${timeoutMs} ms) and was ended${said}`;
    case 'notStarted':
      return `${path} cannot be run: ${end.reason}`;
  }
}
