import type { JupyterFrontEnd } from '@jupyterlab/application';
import { DocumentWidget, type DocumentRegistry } from '@jupyterlab/docregistry';

/** What became of the open documents that had unsaved changes. */
export interface ISaved {
  readonly saved: readonly string[];
  readonly failed: readonly string[];
}

/** Save each open document that has unsaved changes. */
export async function saveDocuments(
  shell: JupyterFrontEnd.IShell
): Promise<ISaved> {
  const saved: string[] = [];
  const failed: string[] = [];
  await Promise.all(
    findUnsaved(shell).map(async context => {
      try {
        await context.save();
        saved.push(context.path);
      } catch {
        // JupyterLab shows the reason in a dialog of its own.
        failed.push(context.path);
      }
    })
  );
  return { saved, failed };
}

function findUnsaved(shell: JupyterFrontEnd.IShell): DocumentRegistry.Context[] {
  // A notebook with a second view is two widgets of one context.
  const unsaved = new Set<DocumentRegistry.Context>();
  for (const area of ['main', 'left', 'right', 'down']) {
    for (const widget of shell.widgets(area)) {
      if (!(widget instanceof DocumentWidget)) {
        continue;
      }
      const { model } = widget.context;
      if (model.dirty && !model.readOnly) {
        unsaved.add(widget.context as DocumentRegistry.Context);
      }
    }
  }
  return [...unsaved];
}
