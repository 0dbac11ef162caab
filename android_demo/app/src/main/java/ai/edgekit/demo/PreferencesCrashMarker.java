package ai.edgekit.demo;

import android.app.ActivityManager;
import android.app.ApplicationExitInfo;
import android.content.Context;
import android.content.SharedPreferences;
import android.os.Build;
import android.os.Process;

import ai.edgekit.demo.runtime.CrashMarker;
import ai.edgekit.demo.runtime.DelegateKind;

import java.util.List;

/**
 * Remembers in the preferences which delegate was being tried. What is still marked as being tried when the process
 * starts took the process before it down.
 */
final class PreferencesCrashMarker implements CrashMarker {
    private static final String TRYING = "trying";
    private static final String TRYING_AGAIN = "trying again";
    private static final String DOUBTFUL = "doubtful";
    private static final String CRASHED = "crashed";

    private final SharedPreferences marks;

    /** Call it once per process, before anything is tried. */
    PreferencesCrashMarker(Context context) {
        marks = context.getSharedPreferences("crash_marker", Context.MODE_PRIVATE);
        boolean crash = !endedByUserOrSystem(context);
        boolean reasonKnown = Build.VERSION.SDK_INT >= 30;
        SharedPreferences.Editor editor = marks.edit();
        for (String key : marks.getAll().keySet()) {
            String mark = marks.getString(key, "");
            if (TRYING.equals(mark) || TRYING_AGAIN.equals(mark)) {
                if (!crash) {
                    editor.remove(key);
                } else {
                    // Where the reason is not known, the app may have been swiped away: one more try decides.
                    editor.putString(key, reasonKnown || TRYING_AGAIN.equals(mark) ? CRASHED : DOUBTFUL);
                }
            }
        }
        editor.commit();
    }

    @Override
    public boolean crashed(DelegateKind kind, String digest) {
        return CRASHED.equals(marks.getString(key(kind, digest), ""));
    }

    @Override
    public void trying(DelegateKind kind, String digest) {
        String key = key(kind, digest);
        boolean again = DOUBTFUL.equals(marks.getString(key, ""));
        marks.edit().putString(key, again ? TRYING_AGAIN : TRYING).commit();
    }

    @Override
    public void done(DelegateKind kind, String digest) {
        String key = key(kind, digest);
        if (TRYING_AGAIN.equals(marks.getString(key, ""))) {
            marks.edit().putString(key, DOUBTFUL).commit(); // what died in a later step comes through this one each time
        } else {
            marks.edit().remove(key).commit();
        }
    }

    /** Whether any delegate crashed with this model. */
    boolean anyCrashed(String digest) {
        for (DelegateKind kind : DelegateKind.values()) {
            if (crashed(kind, digest)) {
                return true;
            }
        }
        return false;
    }

    /** Lets everything be tried again with this model. */
    void forget(String digest) {
        SharedPreferences.Editor editor = marks.edit();
        for (DelegateKind kind : DelegateKind.values()) {
            editor.remove(key(kind, digest));
        }
        editor.commit();
    }

    private static String key(DelegateKind kind, String digest) {
        return kind.id + ":" + digest;
    }

    /** Whether the process before this one was closed rather than crashed; known since Android 11. */
    private static boolean endedByUserOrSystem(Context context) {
        if (Build.VERSION.SDK_INT < 30) {
            return false;
        }
        List<ApplicationExitInfo> exits = context.getSystemService(ActivityManager.class)
                .getHistoricalProcessExitReasons(context.getPackageName(), 0, 1);
        if (exits.isEmpty()) {
            return false;
        }
        ApplicationExitInfo exit = exits.get(0);
        // In the foreground it was the delegate that took the memory, and would again.
        boolean inBackground = exit.getImportance() > ActivityManager.RunningAppProcessInfo.IMPORTANCE_FOREGROUND;
        switch (exit.getReason()) {
            case ApplicationExitInfo.REASON_USER_REQUESTED:
            case ApplicationExitInfo.REASON_USER_STOPPED:
            case ApplicationExitInfo.REASON_PERMISSION_CHANGE:
            case ApplicationExitInfo.REASON_DEPENDENCY_DIED:
            case ApplicationExitInfo.REASON_FREEZER:
            case ApplicationExitInfo.REASON_PACKAGE_STATE_CHANGE:
            case ApplicationExitInfo.REASON_PACKAGE_UPDATED:
            case ApplicationExitInfo.REASON_OTHER:
                return true;
            case ApplicationExitInfo.REASON_LOW_MEMORY:
                return inBackground;
            case ApplicationExitInfo.REASON_SIGNALED:
                // So ends what a task killer closes, or low memory where the phone does not tell it; no crash does.
                return inBackground && exit.getStatus() == Process.SIGNAL_KILL;
            default:
                return false;
        }
    }
}
