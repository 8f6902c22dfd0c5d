/** A migration that runs, in a few lines: how far, how long still, which way it goes. */
import type { MigrationView } from '../../src/api/migration-schema.ts';
import { formatRate, formatSize } from '../../src/base/units.ts';
import { Meter } from '../parts/bars.tsx';
import { sentence } from '../parts/notice.tsx';
import { Chip } from '../parts/state-chip.tsx';
import { durationOrDash } from '../parts/words.ts';
import { usePeerName } from '../session/known-hosts.ts';
import { linkTo } from '../session/route.ts';
import { stepText } from './phase-steps.tsx';

export function LiveMigration({ migration }: { migration: MigrationView }): React.JSX.Element {
  const { id, vm, direction, progress, phase } = migration;
  const peer = usePeerName()(migration.peer);
  return (
    <div className="stack-tight">
      <div className="actions">
        <a href={linkTo('migrations', id)}>
          <b>{vm}</b>
        </a>
        <span className="soft">
          {direction === 'outgoing' ? 'to' : 'from'} {peer}
        </span>
        <Chip tone="active" mark="arrow">
          {stepText(phase ?? 'preparing')}
        </Chip>
        <span className="soft" style={{ marginLeft: 'auto' }}>
          {progress?.etaMs == null ? '' : `about ${durationOrDash(progress.etaMs)} left`}
        </span>
      </div>
      <Meter label={`Progress of ${vm}`} percent={progress?.percent ?? 0} />
      {progress === null ? null : (
        <p className="soft small">
          {Math.floor(progress.percent)} %, {formatSize(progress.sentBytes)} sent, {formatSize(progress.remainingBytes)}{' '}
          to go at {formatRate(progress.bytesPerSecond)}. {sentence(progress.verdict.text)}
        </p>
      )}
    </div>
  );
}
