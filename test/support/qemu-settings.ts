/**
 * QEMU's migration settings, which are its owner's, asked of QEMU itself.
 *
 * Must hold: the daemon, which has QEMU's only QMP connection, is another one afterwards. What is read is what the one
 * before has left, not what the next one puts back.
 */
import type { JsonValue } from '../../src/base/errors.ts';
import { readCommandLine } from '../../src/linux/process.ts';
import { QmpClient } from '../../src/qemu/qmp.ts';
import type { ReachedHost } from './host-pair.ts';

export interface QemuSettings {
  readonly capabilities: JsonValue;
  readonly parameters: JsonValue;
}

/** All capabilities and parameters of migration in the QEMU of a VM that no migration has. */
export async function readSettings({ host, client }: ReachedHost, vm: string): Promise<QemuSettings> {
  const { pid } = await client.showVm(vm);
  await host.kill();
  try {
    using qmp = await QmpClient.connect(qmpPathOf(pid!));
    return {
      capabilities: await qmp.execute('query-migrate-capabilities'),
      parameters: await qmp.execute('query-migrate-parameters'),
    };
  } finally {
    await host.start();
  }
}

/** Of a QEMU that godwit has started. */
function qmpPathOf(pid: number): string {
  const path = /\bid=godwit-qmp,path=([^,]+)/.exec(readCommandLine(pid).join(' '))?.[1];
  if (path === undefined) throw new Error(`Process ${pid} has no QMP socket of godwit's`);
  return path;
}
