import { Signal, type ISignal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';

import type { ISession } from './session';
import { sayDuration, sayStatus, sayTime } from './timeLeft';

/** Seconds before the end from which the item stands out. */
const SOON = 600;

/** The status bar's "medium · 3 h 12 min left". */
export class SessionStatus extends Widget {
  constructor() {
    super();
    this.addClass('swotvre-SessionStatus');
    this.addClass('jp-StatusBar-TextItem');
  }

  /** Whether there is anything to show. */
  get known(): boolean {
    return this._known;
  }

  /** Emitted when there is something to show, or no longer. */
  get knownChanged(): ISignal<this, void> {
    return this._knownChanged;
  }

  /** Show the session as it is now. */
  present(session: ISession): void {
    const { title, size, seconds_left: left } = session.answer;
    this.node.textContent = sayStatus(title, left);
    this.node.title = describe(session, new Date());
    this.toggleClass('swotvre-mod-soon', left !== null && left <= SOON);
    const known = size !== null || left !== null;
    if (known !== this._known) {
      this._known = known;
      this._knownChanged.emit();
    }
  }

  private _known = false;
  private readonly _knownChanged = new Signal<this, void>(this);
}

/** The tooltip: one fact per line. */
export function describe(session: ISession, now: Date): string {
  const { answer, endsAt } = session;
  const lines = [`Session: ${answer.title}`];
  if (answer.cores !== null && answer.memory_gib !== null) {
    const cores = answer.cores === 1 ? '1 core' : `${answer.cores} cores`;
    lines.push(`${cores}, ${Math.round(answer.memory_gib)} GiB of memory`);
  }
  lines.push(
    endsAt === null ? 'No end set' : `Ends at ${sayTime(endsAt, now)}`
  );
  if (answer.idle_timeout_seconds !== null) {
    const timeout = sayDuration(answer.idle_timeout_seconds);
    lines.push(
      answer.busy_kernels > 0
        ? 'A kernel is running: the session is not idle'
        : `Idle for ${sayDuration(answer.idle_seconds)}; ends after ${timeout} without use`
    );
  }
  return lines.join('\n');
}
