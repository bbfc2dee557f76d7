import type { ServerConnection } from '@jupyterlab/services';
import { Token } from '@lumino/coreutils';
import { Poll } from '@lumino/polling';
import { Signal } from '@lumino/signaling';

import {
  getSession,
  keepSession,
  MissingEndpointError,
  type ISessionAnswer
} from './request';

/** Milliseconds between two questions to the server. */
const INTERVAL = 30_000;

/** The longest pause between two questions to a server that does not answer. */
const LONGEST_PAUSE = 120_000;

/** The session as last heard of, on this browser's clock. */
export interface ISession {
  readonly answer: ISessionAnswer;
  /** End of the walltime; null without one. */
  readonly endsAt: Date | null;
  /** End by idleness if nothing is done; null while a kernel is busy. */
  readonly idleEndsAt: Date | null;
}

/** Watches the session and tells the plugins of this extension about it. */
export interface ISessionWatch {
  /** Call back with the session as known now, if it is, and at each answer of the server. */
  follow(listener: (session: ISession) => void): void;
  /** Ask the server now, not only when it is time. */
  refresh(): void;
  /** Tell the server that the user is still there. */
  keep(): Promise<void>;
}

export const ISessionWatch = new Token<ISessionWatch>(
  'swotvre-lab:ISessionWatch',
  'Tells size, walltime end, idle end and killed kernels of the session.'
);

/** Asks the server every 30 s, in hidden tabs too: a warning must not wait. */
export class SessionWatch implements ISessionWatch {
  constructor(private readonly settings: ServerConnection.ISettings) {
    this.poll = new Poll({
      name: 'swotvre-lab:session',
      factory: () => this.ask(),
      frequency: { interval: INTERVAL, backoff: true, max: LONGEST_PAUSE },
      standby: 'never'
    });
  }

  follow(listener: (session: ISession) => void): void {
    if (this.latest !== null) {
      listener(this.latest);
    }
    this.changed.connect((_sender, session) => listener(session));
  }

  refresh(): void {
    void this.poll.refresh();
  }

  async keep(): Promise<void> {
    this.tell(await keepSession(this.settings));
  }

  private async ask(): Promise<void> {
    try {
      this.tell(await getSession(this.settings));
    } catch (error) {
      if (error instanceof MissingEndpointError) {
        void this.poll.stop();
        return;
      }
      throw error;
    }
  }

  private tell(answer: ISessionAnswer): void {
    // The server's clock may differ from the browser's: take distances only.
    const fromNow = (seconds: number | null) =>
      seconds === null ? null : new Date(Date.now() + seconds * 1000);
    const idleLeft =
      answer.idle_ends_at === null || answer.idle_timeout_seconds === null
        ? null
        : answer.idle_timeout_seconds - answer.idle_seconds;
    this.latest = {
      answer,
      endsAt: fromNow(answer.seconds_left),
      idleEndsAt: fromNow(idleLeft)
    };
    this.changed.emit(this.latest);
  }

  private readonly poll: Poll;
  private readonly changed = new Signal<this, ISession>(this);
  private latest: ISession | null = null;
}
