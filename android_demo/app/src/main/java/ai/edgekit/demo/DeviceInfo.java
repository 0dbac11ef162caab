package ai.edgekit.demo;

import android.content.Context;
import android.content.pm.PackageInfo;
import android.content.pm.PackageManager;
import android.os.Build;

import java.util.Locale;

import org.tensorflow.lite.TensorFlowLite;

/** What the device report says about the phone and the app. */
final class DeviceInfo {
    private DeviceInfo() {}

    /** Maker and model, as in "Google Pixel 8". */
    static String name() {
        String maker = Build.MANUFACTURER;
        boolean repeated = Build.MODEL.toLowerCase(Locale.ROOT).startsWith(maker.toLowerCase(Locale.ROOT));
        String name = repeated ? Build.MODEL : maker + " " + Build.MODEL;
        return name.isEmpty() ? name : name.substring(0, 1).toUpperCase(Locale.ROOT) + name.substring(1);
    }

    /** The interpreter and its version, as in "TensorFlow Lite 2.16.1". */
    static String runtime() {
        try {
            return "TensorFlow Lite " + TensorFlowLite.runtimeVersion();
        } catch (LinkageError | RuntimeException error) {
            return "TensorFlow Lite"; // its native library does not load here
        }
    }

    static String system() {
        return "Android " + Build.VERSION.RELEASE + " (API " + Build.VERSION.SDK_INT + ")";
    }

    /** The system on a chip; before Android 12 the board's name. */
    static String soc() {
        return Build.VERSION.SDK_INT >= 31 ? Build.SOC_MANUFACTURER + " " + Build.SOC_MODEL : Build.HARDWARE;
    }

    static String abi() {
        return Build.SUPPORTED_ABIS.length > 0 ? Build.SUPPORTED_ABIS[0] : "unknown";
    }

    static String appVersion(Context context) {
        return info(context).versionName;
    }

    @SuppressWarnings("deprecation")
    static long appVersionCode(Context context) {
        PackageInfo info = info(context);
        return Build.VERSION.SDK_INT >= 28 ? info.getLongVersionCode() : info.versionCode;
    }

    private static PackageInfo info(Context context) {
        try {
            return context.getPackageManager().getPackageInfo(context.getPackageName(), 0);
        } catch (PackageManager.NameNotFoundException error) {
            throw new IllegalStateException(error); // the app itself
        }
    }
}
