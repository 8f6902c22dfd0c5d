/**
 * Starts moving VMs that share memory, together: where to, in which order, and how each of them.
 *
 * Must hold: what the host refuses is shown here, before anything has moved; a value that it would refuse is named at its field.
 */
import { useState } from 'react';
import type { GroupOrder } from '../../src/api/group-migration-schema.ts';
import type { GroupView } from '../../src/api/group-schema.ts';
import { SelectField } from '../parts/field.tsx';
import { ErrorNotice, ended, Notice } from '../parts/notice.tsx';
import { PageHead, Panel } from '../parts/panel.tsx';
import { useCalls, useHostState } from '../session/host-context.ts';
import { goTo, linkTo } from '../session/route.ts';
import { useDestination } from './destination-fields.tsx';
import { useFormState } from './form-state.ts';
import { HowFields } from './how-fields.tsx';

/** The host's own default first. */
const ORDERS: readonly { readonly value: GroupOrder; readonly text: string; readonly hint: string }[] = [
  {
    value: 'one-by-one',
    text: 'One after the other',
    hint: 'Each begins when the one before runs at the other host. VMs wait least for each other.',
  },
  { value: 'together', text: 'Together', hint: 'All begin at once.' },
  {
    value: 'on-access',
    text: 'When they touch what has gone',
    hint: 'The first moves; each other follows when it uses shared memory that is at the other host. It has no end of its own.',
  },
];
const BY_NAME = '';

export function MigrateGroupPage({ name }: { name: string }): React.JSX.Element {
  const { groups } = useHostState();
  const group = groups.find((each) => each.name === name || each.regions.some((region) => region.name === name));
  if (group === undefined) {
    return (
      <>
        <PageHead title={`There is no group ${name} here`} />
        <p>
          It may have moved, or its VMs do not share memory any more. <a href={linkTo()}>Go to the overview</a>
        </p>
      </>
    );
  }
  return <GroupForm group={group} />;
}

function GroupForm({ group }: { group: GroupView }): React.JSX.Element {
  const calls = useCalls();
  const { to, fields } = useDestination();
  const [order, setOrder] = useState<GroupOrder>(ORDERS[0]!.value);
  const [first, setFirst] = useState(BY_NAME);
  const { form, wrong, error, isStarting, change, start } = useFormState();
  const { name, vms, migration } = group;
  const isReady = to !== '' && migration === null;

  const submit = (event: React.FormEvent): void => {
    event.preventDefault();
    if (!isReady) return;
    void start(to, async (body) => {
      await calls.migrateGroup(name, { ...body, order, ...(first === BY_NAME ? {} : { first }) });
      goTo();
    });
  };

  return (
    <>
      <PageHead
        title={`Migrate group ${name}`}
        crumbs={<a href={linkTo()}>Overview</a>}
        lead={`${vms.map((vm) => vm.name).join(', ')} share memory, and move as a group: it stays one memory at every moment. Until the first of them has moved a cancel puts all back.`}
      />
      {migration === null ? null : (
        <Notice tone="warn" title="It is moving already.">
          {migration.waitsFor === null ? null : <span>It waits for {ended(migration.waitsFor)}</span>}
        </Notice>
      )}
      <form className="form" onSubmit={submit}>
        <Panel title="1. Where to">{fields}</Panel>
        <Panel title="2. How">
          <HowFields form={form} wrong={wrong} change={change}>
            <SelectField
              label="Order"
              value={order}
              options={ORDERS}
              onChange={setOrder}
              hint={ORDERS.find(({ value }) => value === order)?.hint ?? ''}
            />
            <SelectField
              label="Begins with"
              value={first}
              options={[
                { value: BY_NAME, text: 'the first by name' },
                ...vms.map((vm) => ({ value: vm.name, text: vm.name })),
              ]}
              onChange={setFirst}
            />
          </HowFields>
        </Panel>
        {error === undefined ? null : <ErrorNotice error={error} title="It was not started." />}
        <div className="actions">
          <button type="submit" className="primary" disabled={!isReady || isStarting} aria-describedby="why-not">
            Start the migration
          </button>
          <a className="button" href={linkTo()}>
            Back
          </a>
          <span id="why-not" className="soft">
            {to === '' ? 'Choose where to first.' : ''}
          </span>
        </div>
      </form>
    </>
  );
}
