package ai.edgekit.demo;

import android.content.Context;
import android.os.Build;
import android.os.PowerManager;

/** The device's thermal status in the words of the device report. */
final class Thermal {
    private static final String[] NAMES = {
        "none", "light", "moderate", "severe", "critical", "emergency", "shutdown"};

    private Thermal() {}

    /** The status now; "unknown" before Android 10. */
    static String status(Context context) {
        PowerManager power = context.getSystemService(PowerManager.class);
        if (Build.VERSION.SDK_INT < 29 || power == null) {
            return "unknown";
        }
        int status = power.getCurrentThermalStatus();
        return status >= 0 && status < NAMES.length ? NAMES[status] : "unknown";
    }
}
