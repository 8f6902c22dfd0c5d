/** The VMs of a host, each with how it writes and what one can do with it. */
import type { HistoryView } from '../../src/api/history-schema.ts';
import type { VmView } from '../../src/api/vm-schema.ts';
import { PAGE_SIZE } from '../../src/base/page.ts';
import { formatRate, formatSize } from '../../src/base/units.ts';
import type { HostCalls } from '../../src/client/host-calls.ts';
import { useLoaded } from '../parts/loaded.ts';
import { Sparkline } from '../parts/sparkline.tsx';
import { VmChip } from '../parts/state-chip.tsx';
import { useCalls } from '../session/host-context.ts';
import { linkTo } from '../session/route.ts';

/** Hosts look at their VMs once a minute. */
const REFRESH_MS = 30_000;
/** More questions at once would only wait for each other. */
const ASKED_AT_ONCE = 4;
const SPARK_SAMPLES = 60;

export function VmTable({ vms }: { vms: readonly VmView[] }): React.JSX.Element {
  const calls = useCalls();
  const names = vms.map(({ name }) => name);
  const histories = useLoaded(() => loadHistories(calls, names), names.join('/'), REFRESH_MS).value;
  return (
    <table className="rows">
      <thead>
        <tr>
          <th>Name</th>
          <th>State</th>
          <th className="number">Memory</th>
          <th className="number">CPUs</th>
          <th className="number">Writes now</th>
          <th>The last hour</th>
          <th>Remarks</th>
          <th>
            <span className="unseen">What to do</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {vms.map((vm) => (
          <tr key={vm.name}>
            <th scope="row">
              <a href={linkTo('vms', vm.name)}>{vm.name}</a>
            </th>
            <td data-label="State">
              <VmChip state={vm.state} />
            </td>
            <td data-label="Memory" className="number">
              {formatSize(vm.memoryBytes)}
            </td>
            <td data-label="CPUs" className="number">
              {vm.vcpus}
            </td>
            <Writes history={histories?.get(vm.name)} name={vm.name} />
            <td className="soft wide">{remarkOf(vm)}</td>
            <td className="number wide">
              <VmAction vm={vm} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Writes({ history, name }: { history: HistoryView | undefined; name: string }): React.JSX.Element {
  const rates = (history?.samples ?? []).map(({ pagesPerSecond }) => pagesPerSecond * PAGE_SIZE);
  const last = rates.at(-1);
  return (
    <>
      <td data-label="Writes now" className="number">
        {last === undefined ? <span className="soft">–</span> : formatRate(last)}
      </td>
      <td data-label="The last hour">
        {rates.length < 2 ? (
          <span className="soft small">not looked at often enough yet</span>
        ) : (
          <Sparkline
            values={rates.slice(-SPARK_SAMPLES)}
            label={`How ${name} wrote, at most ${formatRate(Math.max(...rates))}`}
          />
        )}
      </td>
    </>
  );
}

function VmAction({ vm }: { vm: VmView }): React.JSX.Element | null {
  if (vm.migration !== null) {
    return (
      <a className="button small" href={linkTo('migrations', vm.migration)}>
        Watch<span className="unseen"> {vm.name}</span>
      </a>
    );
  }
  if (vm.state !== 'running' && vm.state !== 'paused') return null;
  const shared = vm.sharedMemory[0];
  if (shared !== undefined) {
    return (
      <a className="button small" href={linkTo('groups', shared.name, 'migrate')}>
        Migrate its group…<span className="unseen"> {vm.name}</span>
      </a>
    );
  }
  return (
    <a className="button small" href={linkTo('vms', vm.name, 'migrate')}>
      Migrate…<span className="unseen"> {vm.name}</span>
    </a>
  );
}

function remarkOf(vm: VmView): string {
  if (vm.ended !== null) return vm.ended.reason;
  const shared = vm.sharedMemory.map(({ name }) => name).join(', ');
  return [
    shared === '' ? '' : `shares ${shared}`,
    vm.arrivedFrom === null ? '' : `came from ${vm.arrivedFrom}`,
    ...vm.notes,
  ]
    .filter((text) => text !== '')
    .join('; ');
}

async function loadHistories(calls: HostCalls, names: readonly string[]): Promise<ReadonlyMap<string, HistoryView>> {
  const found = new Map<string, HistoryView>();
  const waiting = [...names];
  const ask = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      try {
        found.set(name, await calls.vmHistory(name));
      } catch (error) {
        // It may just have left; its row says so.
        console.debug('history', name, error);
      }
    }
  };
  await Promise.all(Array.from({ length: ASKED_AT_ONCE }, ask));
  return found;
}
