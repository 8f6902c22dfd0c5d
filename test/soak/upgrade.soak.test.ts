/** The QEMU of a busy VM of 2 GiB, replaced twenty times, from one version to the other and back. */
import { expect, test } from 'vitest';
import { requireCapability } from '../support/capability.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { qemuVersions } from '../support/other-qemu.ts';
import { runsAlone, UpgradingHost, VM } from '../support/upgraded-vm.ts';

checkLeaks();

const TIMES = 20;
/** It writes to 512 MiB as fast as it can. */
const LARGE = { memoryMiB: 2048, guest: { pageCount: 131_072 } } as const;

requireCapability('vm')('a busy VM of 2 GiB', () => {
  test(`gets another QEMU ${TIMES} times`, async () => {
    await using host = await UpgradingHost.open(undefined, LARGE);
    const { client } = host.at;
    const versions = qemuVersions().toReversed();
    const reports = [];
    for (let i = 0; i < TIMES; i++) {
      const report = await client.upgradeVm(VM, { qemu: versions[i % versions.length]! });
      reports.push(report);
      await runsAlone(host.at, VM, report.pid);
    }
    const downtimesMs = reports.map(({ downtimeMs }) => downtimeMs!).sort((a, b) => a - b);
    const totalsMs = reports.map(({ totalMs }) => totalMs).sort((a, b) => a - b);
    console.log(JSON.stringify({ downtimesMs, totalsMs, last: reports.at(-1) }));
    expect(reports.every(({ memoryCopiedBytes }) => memoryCopiedBytes === 0)).toBe(true);
  });
});
