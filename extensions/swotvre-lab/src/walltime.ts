import { Notification } from '@jupyterlab/apputils';

import type { ISaved } from './documents';
import type { ISession } from './session';
import { findDueWarning, sayDocuments, sayDuration, sayTime } from './timeLeft';

/** When the user is told; the settings of the plugin. */
export interface IWalltimeSettings {
  /** Minutes before the end at which the user is told. */
  readonly warnMinutes: readonly number[];
  /** Minutes before the end at which open documents are saved. */
  readonly saveMinutes: number;
}

/** An end that moves by more than this is another session's. */
const SAME_END = 60_000;

/** Tells the user before the walltime ends, and saves the open documents last. */
export class WalltimeWarner {
  constructor(
    private readonly settings: () => IWalltimeSettings,
    private readonly save: () => Promise<ISaved>
  ) {}

  /** Look whether something is to be said or done now. */
  async look(session: ISession): Promise<void> {
    const left = session.answer.seconds_left;
    if (left === null || session.endsAt === null) {
      return;
    }
    this.forgetOtherSession(session.endsAt);
    const { warnMinutes, saveMinutes } = this.settings();
    const due = findDueWarning(
      left,
      [...warnMinutes, saveMinutes],
      this.lastGiven
    );
    if (due === null) {
      return;
    }
    this.lastGiven = due;
    const end = `This session ends in ${sayDuration(left)} (${sayTime(session.endsAt, new Date())}).`;
    if (due <= saveMinutes) {
      this.sayEnd(end, await this.save());
    } else {
      this.warn(
        `${end} Save your notebooks: files stay, kernels and their variables are lost.`
      );
    }
  }

  private forgetOtherSession(endsAt: Date): void {
    const end = endsAt.getTime();
    if (this.end !== null && Math.abs(end - this.end) > SAME_END) {
      this.lastGiven = null;
    }
    this.end = end;
  }

  private warn(message: string): void {
    this.replace(
      Notification.warning(message, {
        autoClose: false,
        actions: [
          {
            label: 'Save all',
            caption: 'Save all open documents',
            displayType: 'accent',
            callback: () => void this.saveNow()
          }
        ]
      })
    );
  }

  private async saveNow(): Promise<void> {
    const done = await this.save();
    if (done.failed.length > 0) {
      this.sayFailed(done.failed);
    } else {
      Notification.success(`Saved ${sayDocuments(done.saved.length)}.`, {
        autoClose: 5000
      });
    }
  }

  private sayEnd(end: string, done: ISaved): void {
    const saved =
      done.saved.length > 0
        ? `Saved ${sayDocuments(done.saved.length)} for you.`
        : 'No open document had unsaved changes.';
    this.replace(
      Notification.warning(`${end} ${saved} Kernels and their variables are lost.`, {
        autoClose: false
      })
    );
    if (done.failed.length > 0) {
      this.sayFailed(done.failed);
    }
  }

  private sayFailed(paths: readonly string[]): void {
    Notification.error(
      `Not saved: ${paths.join(', ')}. Save or copy it yourself now.`,
      { autoClose: false }
    );
  }

  /** One warning at a time: a later one takes the place of the earlier. */
  private replace(id: string): void {
    if (this.shown !== null) {
      Notification.dismiss(this.shown);
    }
    this.shown = id;
  }

  private end: number | null = null;
  private lastGiven: number | null = null;
  private shown: string | null = null;
}
