package ai.edgekit.demo;

import android.content.Context;
import android.os.Build;

import ai.edgekit.demo.runtime.DelegateFactory;
import ai.edgekit.demo.runtime.DelegateKind;
import ai.edgekit.demo.runtime.ModelFile;
import ai.edgekit.demo.runtime.UnavailableException;

import org.tensorflow.lite.Delegate;
import org.tensorflow.lite.gpu.CompatibilityList;
import org.tensorflow.lite.gpu.GpuDelegate;
import org.tensorflow.lite.gpu.GpuDelegateFactory;
import org.tensorflow.lite.nnapi.NnApiDelegate;

/** Makes the phone's delegates, each for one partition of the graph and a steady speed. */
final class AndroidDelegates implements DelegateFactory {
    private final Context context;

    AndroidDelegates(Context context) {
        this.context = context;
    }

    @Override
    public Delegate create(DelegateKind kind, ModelFile model) throws UnavailableException {
        switch (kind) {
            case GPU:
                return gpu();
            case NNAPI:
                return nnapi();
            default:
                return null;
        }
    }

    private Delegate gpu() throws UnavailableException {
        try (CompatibilityList list = new CompatibilityList()) {
            if (!list.isDelegateSupportedOnThisDevice()) {
                throw new UnavailableException(context.getString(R.string.unavailable_gpu));
            }
            GpuDelegateFactory.Options options = list.getBestOptionsForThisDevice();
            options.setInferencePreference(GpuDelegateFactory.Options.INFERENCE_PREFERENCE_SUSTAINED_SPEED);
            return new GpuDelegate(options);
        }
    }

    private Delegate nnapi() throws UnavailableException {
        if (Build.VERSION.SDK_INT < 27) {
            throw new UnavailableException(context.getString(R.string.unavailable_nnapi));
        }
        NnApiDelegate.Options options = new NnApiDelegate.Options();
        options.setExecutionPreference(NnApiDelegate.Options.EXECUTION_PREFERENCE_SUSTAINED_SPEED);
        options.setAllowFp16(true);
        options.setUseNnapiCpu(false); // NNAPI's own reference implementation is slower than XNNPACK
        options.setMaxNumberOfDelegatedPartitions(1);
        return new NnApiDelegate(options);
    }
}
