/**
 * Starts a migration: where to, a check of what would be in its way, the few choices that matter, the rest folded away.
 *
 * Must hold: nothing moves before the check of the destination that is shown has passed; a value that the host would refuse
 * is named at its field.
 */
import { ErrorNotice, Notice } from '../parts/notice.tsx';
import { PageHead, Panel } from '../parts/panel.tsx';
import { useCalls, useHostState } from '../session/host-context.ts';
import { goTo, linkTo } from '../session/route.ts';
import { type Check, DestinationCheck, useCheck } from './destination-check.tsx';
import { useDestination } from './destination-fields.tsx';
import { useFormState } from './form-state.ts';
import { HowFields } from './how-fields.tsx';

export function MigratePage({ name }: { name: string }): React.JSX.Element {
  const calls = useCalls();
  const { vms } = useHostState();
  const { to, fields } = useDestination();
  const { form, wrong, error, isStarting, change, start } = useFormState();
  const { check, again } = useCheck(name, to);
  const vm = vms.find((each) => each.name === name);
  const isReady = check?.kind === 'answered' && check.result.ok;

  const submit = (event: React.FormEvent): void => {
    event.preventDefault();
    if (!isReady) return;
    void start(to, async (body) => {
      const migration = await calls.migrate(name, body);
      goTo('migrations', migration.id);
    });
  };

  return (
    <>
      <PageHead
        title={`Migrate ${name}`}
        crumbs={<a href={linkTo('vms', name)}>{name}</a>}
        lead="The VM keeps running while its memory is copied; it stands still only for the handover. If anything goes wrong before that, it stays here as it was."
      />
      {vm !== undefined && vm.migration !== null ? (
        <Notice tone="warn">
          <span>
            A migration has it already. <a href={linkTo('migrations', vm.migration)}>Watch it</a>
          </span>
        </Notice>
      ) : null}
      <form className="form" onSubmit={submit}>
        <Panel title="1. Where to">
          {fields}
          <DestinationCheck check={check} name={name} again={again} />
        </Panel>
        <Panel title="2. How">
          <HowFields form={form} wrong={wrong} change={change} />
        </Panel>
        {error === undefined ? null : <ErrorNotice error={error} title="It was not started." />}
        <div className="actions">
          <button type="submit" className="primary" disabled={!isReady || isStarting} aria-describedby="why-not">
            Start the migration
          </button>
          <a className="button" href={linkTo('vms', name)}>
            Back
          </a>
          <span id="why-not" className="soft">
            {isReady ? '' : whyNot(check, to)}
          </span>
        </div>
      </form>
    </>
  );
}

function whyNot(check: Check | undefined, to: string): string {
  if (to === '') return 'Choose where to first.';
  if (check === undefined || check.kind === 'asking') return 'Waiting for the check.';
  return 'What is in the way has to be fixed first.';
}
