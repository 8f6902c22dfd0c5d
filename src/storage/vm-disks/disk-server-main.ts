/**
 * The process of a VM's block server: `node disk-server-main DIRECTORY`.
 *
 * Must hold: it lives as long as the VM's QEMU does, whatever becomes of the daemon that started it, and no longer; one that
 * nobody has told which QEMU that is ends by itself.
 */
import { explain } from '../../base/errors.ts';
import { waitForExit } from '../../linux/process.ts';
import { ControlServer } from './control-server.ts';
import { diskServerPaths, readDiskServerRecord } from './disk-server-record.ts';
import { VmDisks } from './vm-disks.ts';

/** Longer than a daemon takes from here to a QEMU that runs: 30 s at most (qemu/process.ts). */
const UNGUARDED_MS = 60_000;

const [directory = '.'] = process.argv.slice(2);

async function main(): Promise<void> {
  const paths = diskServerPaths(directory);
  const record = readDiskServerRecord(directory);
  if (!record) throw new Error(`there is no ${paths.record}`);
  const disks = new VmDisks((event) => process.stderr.write(`${JSON.stringify(event)}\n`));
  await disks.open(record.disks);
  await disks.listen(paths.nbdSocket);
  const unguarded = setTimeout(() => process.exit(0), UNGUARDED_MS);
  const control = new ControlServer({
    status: () => disks.status(),
    guard: async (qemu) => {
      clearTimeout(unguarded);
      void waitForExit(qemu).then(() => process.exit(0));
      return null;
    },
    cancel: () => disks.cancel(),
    seal: () => disks.seal(),
    admit: () => disks.admit(),
    sync: () => disks.sync(),
    hold: (words) => disks.hold(words),
    stall: (words) => disks.stall(words),
    track: (words) => disks.track(words),
    untrack: (words) => disks.untrack(words),
    collect: (words) => disks.collect(words),
  });
  await control.listen(paths.controlSocket);
}

main().catch((error: unknown) => {
  process.stderr.write(`${explain(error)}\n`);
  process.exit(1);
});
